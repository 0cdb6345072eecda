import { useRef } from "preact/hooks";
import { useSession, useStrings } from "../app/context";
import { Icon, type IconName } from "../app/icons";
import { takeFiles } from "./intake";

/** Buttons that open the system's own choosers: images, a folder, the camera of a phone. */
export function Pickers({ primary }: { readonly primary: boolean }) {
  const { intake } = useStrings();
  return (
    <div class="pickers">
      <Picker icon="image" label={primary ? intake.files : intake.add} primary={primary} multiple />
      <Picker icon="folder" label={primary ? intake.folder : intake.addFolder} folder />
      <Picker icon="camera" label={intake.camera} camera />
    </div>
  );
}

interface PickerProps {
  readonly icon: IconName;
  readonly label: string;
  readonly primary?: boolean;
  readonly multiple?: boolean;
  readonly folder?: boolean;
  readonly camera?: boolean;
}

function Picker({ icon, label, primary, multiple, folder, camera }: PickerProps) {
  const session = useSession();
  const strings = useStrings();
  const input = useRef<HTMLInputElement>(null);
  const choose = async () => {
    const field = input.current;
    await takeFiles(session, strings, field?.files ?? null, folder);
    // The same file can be chosen again.
    if (field) field.value = "";
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
        // DICOM files often have no name ending, so the chooser of images is not narrowed.
        {...(camera ? { accept: "image/*", capture: "environment" as const } : {})}
        {...(folder ? { webkitdirectory: true } : {})}
      />
    </>
  );
}
