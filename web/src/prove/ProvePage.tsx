import "./prove.css";
import { useEffect, useState } from "preact/hooks";
import { usePage } from "../app/context";
import { openStore } from "../app/store";
import type { Session } from "../session/session";
import { useProveStrings } from "./context";
import { Reading } from "./Reading";
import { Report } from "./Report";
import { Setup } from "./Setup";
import { Trial } from "./trial";

const DATABASE = "pneumoscope-trial";

/** One trial for a session, so that going to another page and back loses nothing. */
const trials = new WeakMap<Session, Promise<Trial>>();

async function begun(session: Session): Promise<Trial> {
  const trial = new Trial(session);
  await trial.resume(await openStore(DATABASE));
  return trial;
}

/** A blind trial on the reader's own films, and what came of it. */
export function ProvePage() {
  const { session } = usePage();
  const strings = useProveStrings();
  const [trial, setTrial] = useState<Trial | null>(null);
  useEffect(() => {
    const known = trials.get(session) ?? begun(session);
    trials.set(session, known);
    void known.then(setTrial);
    if (session.models.peek() === null) void session.loadModels();
  }, [session]);
  if (!trial) return <h1>{strings.title}</h1>;
  switch (trial.phase.value) {
    case "reading":
      return <Reading trial={trial} />;
    case "report":
      return <Report trial={trial} />;
    default:
      return <Setup trial={trial} />;
  }
}
