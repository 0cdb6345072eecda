import { useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Answer } from "../reading/send";
import type { Study } from "../session/study";
import { kindOfModality, offerOf } from "./offers";

/** An image that looks like the other modality is one click away from the right model. */
export function OtherKind({ study, answer }: { readonly study: Study; readonly answer: Answer }) {
  const { model, image } = answer;
  const modality = image.image.modality ?? study.facts.value?.modality ?? null;
  const isStrange = (image.reasons as readonly string[]).includes("out_of_distribution");
  return isStrange || kindOfModality(modality) !== null ? (
    <KindOffer study={study} asked={model.name} modality={modality} />
  ) : null;
}

interface KindOfferProps {
  readonly study: Study;
  readonly asked: string;
  readonly modality: string | null;
}

export function KindOffer({ study, asked, modality }: KindOfferProps) {
  const { result } = useStrings();
  const session = useSession();
  const models = session.models.value ?? [];
  const offer = offerOf(models, asked, modality, session.defaultModel.value);
  if (!offer || !study.file) return null;
  return (
    <div class="other-kind">
      <p>{result.isOther}</p>
      <button
        type="button"
        class="button small"
        onClick={() => session.readWith(study, offer.model)}
      >
        <Icon name="retry" /> {result.otherModel(result.kinds[offer.kind] ?? "", offer.model)}
      </button>
    </div>
  );
}
