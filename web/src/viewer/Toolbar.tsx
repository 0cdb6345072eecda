import type { Signal } from "@preact/signals";
import { usePage, useStrings } from "../app/context";
import { Icon, type IconName } from "../app/icons";
import type { Answer } from "../reading/send";
import { toggleFullScreen } from "./fullScreen";
import type { Tool } from "./model";
import { WindowControls } from "./WindowControls";

const ZOOM = 1.25;

interface ToolbarProps {
  readonly answer: Answer | null;
  /** Without the tray, the result and the aids beside it. */
  readonly isAlone?: boolean;
}

/** Every gesture has a button here, so that nothing needs a drag or a key. */
export function Toolbar({ answer, isAlone = false }: ToolbarProps) {
  const { viewer, dialog } = usePage();
  const { viewer: strings } = useStrings();
  const off = viewer.image.value === null;
  return (
    <div class="toolbar" role="toolbar" aria-label={strings.tools}>
      <div class="tools">
        <ToolButton tool="window" icon="contrast" label={strings.window} current={viewer.tool} />
        <ToolButton tool="move" icon="move" label={strings.pan} current={viewer.tool} />
        <ToolButton tool="ruler" icon="ruler" label={strings.ruler} current={viewer.tool} />
      </div>
      <div class="tools">
        <Button icon="plus" label={strings.zoomIn} act={() => viewer.zoom(ZOOM)} off={off} />
        <Button icon="minus" label={strings.zoomOut} act={() => viewer.zoom(1 / ZOOM)} off={off} />
        <Button icon="fit" label={strings.fit} act={() => viewer.fit()} off={off} />
        <button
          type="button"
          class="tool text"
          aria-label={strings.actualLabel}
          title={strings.actualLabel}
          disabled={off}
          onClick={() => viewer.actual()}
        >
          {strings.actual}
        </button>
      </div>
      <div class="tools">
        <Button
          icon="invert"
          label={strings.invert}
          act={() => {
            viewer.invert.value = !viewer.invert.value;
          }}
          off={off}
          pressed={viewer.invert.value}
        />
        {!isAlone && <PinButton />}
        <Button icon="full" label={strings.fullScreen} act={toggleFullScreen} off={off} />
        <Button icon="reset" label={strings.reset} act={() => viewer.reset()} off={off} />
        <Button
          icon="keys"
          label={strings.keys}
          act={() => {
            dialog.value = "keys";
          }}
        />
      </div>
      <div class="tools">
        {answer?.heatmap && (
          <Button
            icon="heat"
            label={strings.heatmap}
            pressed={viewer.heatOn.value}
            act={() => toggle(viewer.heatOn)}
            off={off}
          />
        )}
        {answer?.lungs && (
          <Button
            icon="lungs"
            label={strings.lungs}
            pressed={viewer.lungsOn.value}
            act={() => toggle(viewer.lungsOn)}
            off={off}
          />
        )}
        {!isAlone && (
          <Button
            icon="aids"
            label={strings.aids}
            pressed={viewer.aidsOpen.value}
            act={() => toggle(viewer.aidsOpen)}
            off={off}
          />
        )}
      </div>
      <WindowControls />
      {!isAlone && (
        <div class="tools for-desk">
          <Button
            icon="left"
            label={strings.hideTray}
            pressed={viewer.trayHidden.value}
            act={() => toggle(viewer.trayHidden)}
          />
          <Button
            icon="right"
            label={strings.hideResult}
            pressed={viewer.resultHidden.value}
            act={() => toggle(viewer.resultHidden)}
          />
        </div>
      )}
    </div>
  );
}

/** Keeps the open image beside those that are opened next, as a prior. */
function PinButton() {
  const { session } = usePage();
  const { viewer: strings } = useStrings();
  const study = session.selected.value;
  const { pinned } = session;
  return (
    <Button
      icon="beside"
      label={strings.pin}
      pressed={pinned.value !== null}
      act={() => {
        pinned.value = pinned.value === null ? study : null;
      }}
      off={study === null}
    />
  );
}

function toggle(flag: Signal<boolean>): void {
  flag.value = !flag.value;
}

interface ToolButtonProps {
  readonly tool: Tool;
  readonly icon: IconName;
  readonly label: string;
  readonly current: Signal<Tool>;
}

function ToolButton({ tool, icon, label, current }: ToolButtonProps) {
  return (
    <Button
      icon={icon}
      label={label}
      pressed={current.value === tool}
      act={() => {
        current.value = tool;
      }}
    />
  );
}

interface ButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly act: () => void;
  readonly off?: boolean;
  readonly pressed?: boolean;
}

function Button({ icon, label, act, off = false, pressed }: ButtonProps) {
  return (
    <button
      type="button"
      class="tool"
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      disabled={off}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
}
