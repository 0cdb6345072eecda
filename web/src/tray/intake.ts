import type { Session } from "../session/session";
import type { Study } from "../session/study";
import type { Strings } from "../strings";
import { type Incoming, received } from "./incoming";

/** Add what comes in, and say so. */
export async function take(
  session: Session,
  strings: Strings,
  incoming: AsyncIterable<Incoming>,
): Promise<void> {
  const studies: Study[] = [];
  let left = 0;
  for await (const { files, skipped } of incoming) {
    studies.push(...session.add(files));
    left += skipped;
  }
  const [only] = studies;
  if (only && studies.length === 1) session.select(only);
  const added = studies.length;
  const strange = studies.filter(({ format }) => format === null).length;
  const parts = [
    added > 0 ? strings.intake.added(added) : "",
    strange > 0 ? strings.intake.noImages(strange) : "",
    left > 0 ? strings.intake.skipped(left) : "",
  ];
  session.notice.value = parts.filter(Boolean).join(" ");
}

export async function takeFiles(
  session: Session,
  strings: Strings,
  files: FileList | readonly File[] | null,
  fromFolder = false,
): Promise<void> {
  if (!files || files.length === 0) return;
  await take(session, strings, received([...files], fromFolder));
}
