import { useSession, useStrings } from "../app/context";
import { FileButton } from "./FileButton";
import { takeFiles } from "./intake";

/**
 * Buttons that open the system's own choosers: images, a folder, the camera of a phone. DICOM files
 * often have no name ending, so the chooser of images is not narrowed.
 */
export function Pickers({ primary }: { readonly primary: boolean }) {
  const session = useSession();
  const strings = useStrings();
  const { intake } = strings;
  const take = (files: readonly File[]) => takeFiles(session, strings, files);
  return (
    <div class="pickers">
      <FileButton
        icon="image"
        label={primary ? intake.files : intake.add}
        primary={primary}
        multiple
        onFiles={take}
      />
      <FileButton
        icon="folder"
        label={primary ? intake.folder : intake.addFolder}
        folder
        onFiles={(files) => takeFiles(session, strings, files, true)}
      />
      <FileButton icon="camera" label={intake.camera} camera onFiles={take} />
    </div>
  );
}
