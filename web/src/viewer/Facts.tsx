import { useState } from "preact/hooks";
import { useLanguage, usePage, useStrings } from "../app/context";
import { decimal, fileSize } from "../app/format";
import { Icon } from "../app/icons";
import type { DicomFacts, Patient } from "../images/types";
import type { Study } from "../session/study";

/** What the file says of itself. Who it shows stays hidden until asked for. */
export function Facts({ study }: { readonly study: Study }) {
  const { viewer } = usePage();
  const strings = useStrings();
  const language = useLanguage();
  const dicom = study.facts.value;
  const image = viewer.image.value;
  const width = image?.width ?? dicom?.columns;
  const height = image?.height ?? dicom?.rows;
  const bits = image?.bits ?? dicom?.bitsStored;
  return (
    <section class="block">
      <h3>{strings.facts.label}</h3>
      <dl class="provenance">
        {dicom && <DicomRows facts={dicom} />}
        {width && height && <Row name={strings.facts.size} value={`${width} × ${height}`} />}
        {dicom?.spacingMm && (
          <Row
            name={strings.facts.spacing}
            value={strings.facts.spacingValue(
              decimal(dicom.spacingMm[0], language),
              decimal(dicom.spacingMm[1], language),
            )}
          />
        )}
        {bits && <Row name={strings.facts.depth} value={strings.facts.bits(bits)} />}
        {(dicom ?? study.format) && (
          <Row
            name={strings.facts.encoding}
            value={dicom?.transferSyntax ?? (study.format as string).toUpperCase()}
          />
        )}
        {study.file && (
          <Row name={strings.facts.fileSize} value={fileSize(study.file.size, language)} />
        )}
      </dl>
      {study.format === "dicom" && study.file && <PatientFacts file={study.file} />}
    </section>
  );
}

function DicomRows({ facts }: { readonly facts: DicomFacts }) {
  const strings = useStrings();
  const { modality } = facts;
  const said = modality && (strings.facts.modalities[modality] ?? modality);
  return (
    <>
      <Row name={strings.facts.modality} value={said ?? strings.facts.absent} />
      {facts.bodyPart && <Row name={strings.facts.bodyPart} value={facts.bodyPart} />}
      <Row name={strings.facts.view} value={facts.view ?? strings.facts.absent} />
      <Row name={strings.facts.laterality} value={facts.laterality ?? strings.facts.absent} />
      {facts.age !== null && (
        <Row name={strings.facts.age} value={strings.facts.years(facts.age)} />
      )}
    </>
  );
}

function Row({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Name and ID are read from the file only when asked for, and forgotten when hidden. */
function PatientFacts({ file }: { readonly file: File }) {
  const { session } = usePage();
  const { facts: strings } = useStrings();
  const [patient, setPatient] = useState<Patient | null>(null);
  const ask = async () => {
    const none = { name: null, id: null };
    setPatient((await session.parts.sketching.patient(file).catch(() => none)) ?? none);
  };
  return (
    <div class="patient">
      {patient ? (
        <dl class="provenance" aria-label={strings.patient}>
          <Row name={strings.patientName} value={patient.name ?? strings.absent} />
          <Row name={strings.patientId} value={patient.id ?? strings.absent} />
        </dl>
      ) : (
        <span class="quiet">{strings.patientHidden}</span>
      )}
      <button
        type="button"
        class="button small"
        aria-expanded={patient !== null}
        onClick={() => (patient ? setPatient(null) : void ask())}
      >
        <Icon name="eye" /> {patient ? strings.hidePatient : strings.showPatient}
      </button>
    </div>
  );
}
