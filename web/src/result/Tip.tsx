import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { Icon } from "../app/icons";

interface TipProps {
  readonly label: string;
  readonly children: ComponentChildren;
}

/**
 * An explanation on hover, focus or tap. Source: WCAG 2.2, 1.4.13: it can be hovered, stays until
 * it is left, and goes away with Escape.
 */
export function Tip({ label, children }: TipProps) {
  const id = useId();
  const [isOpen, setOpen] = useState(false);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only watches the pointer leave.
    <span
      class="tip"
      onMouseEnter={() => setOpen(true)}
      onMouseLeave={() => setOpen(false)}
      onKeyDown={(event) => event.key === "Escape" && setOpen(false)}
    >
      <button
        type="button"
        class="tip-button"
        aria-label={label}
        aria-describedby={isOpen ? id : undefined}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onClick={() => setOpen(true)}
      >
        <Icon name="info" />
      </button>
      {isOpen && (
        <span id={id} role="tooltip" class="tip-text">
          {children}
        </span>
      )}
    </span>
  );
}
