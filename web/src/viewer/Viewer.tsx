import { useEffect } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import { verdictOf } from "../result/verdict";
import { answerOf } from "../session/study";
import { AidControls } from "./AidControls";
import { HeatControls } from "./HeatControls";
import { Opening } from "./opening";
import { Prior } from "./Prior";
import { Stage } from "./Stage";
import { Stack } from "./stack";
import { Toolbar } from "./Toolbar";

/** The radiograph with its tools. */
export function Viewer() {
  const { session, viewer } = usePage();
  const strings = useStrings();
  useEffect(() => new Opening(session, viewer).follow(), [session, viewer]);
  const study = session.selected.value;
  const pinned = session.pinned.value;
  const answer = study && answerOf(study);
  useEffect(() => {
    viewer.meetAnswer(answer !== null && verdictOf(answer.image).kind === "refer");
  }, [viewer, answer]);
  return (
    <section class="viewer panel" aria-label={strings.viewer.label}>
      <Toolbar answer={answer} />
      <div class="stages">
        <Stage />
        {pinned && pinned !== study && <Prior key={pinned.id} study={pinned} />}
      </div>
      {viewer.aidsOpen.value && <AidControls />}
      {study && <FrameChoice />}
      <SliceChoice />
      {study && <HeatControls study={study} />}
    </section>
  );
}

/** Turns the slices of a series whose files have one each. */
function SliceChoice() {
  const { session, viewer } = usePage();
  const { viewer: strings } = useStrings();
  const stack = new Stack(session, viewer);
  if (stack.count === 1 || viewer.frames.value > 1) return null;
  return (
    <div class="frames">
      <label>
        <span>{strings.sliceOf(stack.at, stack.count)}</span>
        <input
          type="range"
          min={1}
          max={stack.count}
          value={stack.at}
          onInput={(event) => stack.turnTo(event.currentTarget.valueAsNumber)}
        />
      </label>
    </div>
  );
}

function FrameChoice() {
  const { session, viewer } = usePage();
  const strings = useStrings();
  const study = session.selected.value;
  const frames = Math.max(viewer.frames.value, study?.facts.value?.frames ?? 1);
  if (!study || frames <= 1) return null;
  const frame = study.frame.value;
  const state = study.state.value;
  const read = state.kind === "done" ? state.answer.asked.frame : null;
  return (
    <div class="frames">
      <label>
        <span>{strings.viewer.frameOf(frame, frames)}</span>
        <input
          type="range"
          min={1}
          max={frames}
          value={frame}
          onInput={(event) => {
            study.frame.value = event.currentTarget.valueAsNumber;
          }}
        />
      </label>
      {read !== null && read !== frame && (
        <button type="button" class="button small" onClick={() => session.readFrame(study, frame)}>
          {strings.viewer.readFrame}
        </button>
      )}
      {read !== null && <span class="quiet">{strings.viewer.frameRead(read)}</span>}
    </div>
  );
}
