import { useEffect } from "preact/hooks";
import { useSession } from "./context";

const SHOWN_MS = 3_000;

/** What just happened, shown and spoken for a moment. It takes no click from what is below it. */
export function Notice() {
  const { notice } = useSession();
  const text = notice.value;
  useEffect(() => {
    if (text === "") return;
    const timer = setTimeout(() => {
      notice.value = "";
    }, SHOWN_MS);
    return () => clearTimeout(timer);
  }, [text, notice]);
  return (
    <div class="notice" role="status">
      {text && <p>{text}</p>}
    </div>
  );
}
