import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useSession, useStrings } from "../app/context";
import { focusSelected } from "./focus";
import { StudyRow } from "./StudyRow";
import { scrollFor, visibleSpan } from "./virtual";

/** Row height in root ems; `tray.css` has the same. */
const ROW_REM = 4.25;

/** Draws only the rows that are on screen, so that hundreds of studies cost no more than ten. */
export function StudyList() {
  const session = useSession();
  const { tray } = useStrings();
  const box = useRef<HTMLDivElement>(null);
  const [scrollTop, setScrollTop] = useState(0);
  const [{ height, row }, setSizes] = useState({ height: 0, row: 0 });
  const all = session.shown.value;
  const selected = session.selected.value;
  const at = selected ? all.indexOf(selected) : -1;

  useLayoutEffect(() => {
    const measure = () => {
      const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
      setSizes({ height: box.current?.clientHeight ?? 0, row: rem * ROW_REM });
    };
    measure();
    const observer = new ResizeObserver(measure);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const list = box.current;
    const to = list && at >= 0 ? scrollFor(at, row, list.scrollTop, list.clientHeight) : null;
    if (list && to !== null) list.scrollTop = to;
  }, [at, row]);

  const { first, end } = visibleSpan(all.length, row, scrollTop, height);
  const shown = all.slice(first, end).map((study, index) => ({ study, index: first + index }));
  // The selected row stays in the page even off screen, so that it never loses the focus.
  if (selected && at >= 0 && (at < first || at >= end)) shown.push({ study: selected, index: at });
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    session.step(by as 1 | -1);
    focusSelected();
  };
  return (
    <div
      ref={box}
      class="study-box"
      onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
    >
      <ul
        class="study-list"
        aria-label={tray.label}
        style={{ height: `${all.length * row}px` }}
        onKeyDown={onKeyDown}
      >
        {shown.map(({ study, index }) => (
          <StudyRow
            key={study.id}
            study={study}
            index={index}
            count={all.length}
            top={index * row}
            isSelected={study === selected}
          />
        ))}
      </ul>
    </div>
  );
}
