import { useRef } from "preact/hooks";
import { Icon, type IconName } from "../app/icons";

interface FileButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly primary?: boolean;
  readonly multiple?: boolean;
  readonly folder?: boolean;
  /** The camera of a phone, on devices that are touched. */
  readonly camera?: boolean;
  readonly accept?: string;
  readonly onFiles: (files: readonly File[]) => Promise<void>;
}

/** A button that opens the system's own chooser. */
export function FileButton(props: FileButtonProps) {
  const { icon, label, primary, multiple, folder, camera, accept, onFiles } = props;
  const input = useRef<HTMLInputElement>(null);
  const choose = async () => {
    const field = input.current;
    const files = [...(field?.files ?? [])];
    // The same file can be chosen again.
    if (field) field.value = "";
    if (files.length > 0) await onFiles(files);
  };
  return (
    <>
      <button
        type="button"
        class={`button ${primary ? "primary" : ""} ${camera ? "for-touch" : ""}`}
        onClick={() => input.current?.click()}
      >
        <Icon name={icon} /> <span>{label}</span>
      </button>
      <input
        ref={input}
        type="file"
        hidden
        tabIndex={-1}
        aria-hidden="true"
        multiple={multiple ?? false}
        onChange={() => void choose()}
        {...(camera ? { accept: "image/*", capture: "environment" as const } : {})}
        {...(accept ? { accept } : {})}
        {...(folder ? { webkitdirectory: true } : {})}
      />
    </>
  );
}
