import { effect, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { PageContext, usePage, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Session } from "../session/session";
import type { Study } from "../session/study";
import { ViewerModel } from "./model";
import { Opening } from "./opening";
import { Stage } from "./Stage";

const NO_STEP = () => {};

/** Another image beside the open one, as a prior: nothing lies over it, and its window is the same. */
export function Prior({ study }: { readonly study: Study }) {
  const page = usePage();
  const { viewer: words } = useStrings();
  const own = useMemo(() => {
    const selected = signal<Study | null>(study);
    const shown = Object.create(page.session, {
      selected: { value: selected },
      select: {
        value: (slice: Study) => {
          selected.value = slice;
        },
      },
      step: { value: NO_STEP },
    });
    const viewer = new ViewerModel(page.preferences.opacity);
    viewer.meetAnswer(true);
    return { session: shown as Session, viewer };
  }, [page.session, page.preferences, study]);
  useEffect(() => {
    const closeOpening = new Opening(own.session, own.viewer).follow();
    const unlink = linkWindows(page.viewer, own.viewer);
    return () => {
      unlink();
      closeOpening();
    };
  }, [own, page.viewer]);
  return (
    <div class="prior">
      <p class="prior-name">
        <span>{words.prior(study.name)}</span>
        <button
          type="button"
          class="icon-button"
          aria-label={words.unpin}
          title={words.unpin}
          onClick={() => {
            page.session.pinned.value = null;
          }}
        >
          <Icon name="close" />
        </button>
      </p>
      <PageContext.Provider value={{ ...page, session: own.session, viewer: own.viewer }}>
        <Stage />
      </PageContext.Provider>
    </div>
  );
}

/** One window for both, while their values mean the same; the open image's counts at first. */
export function linkWindows(open: ViewerModel, prior: ViewerModel): () => void {
  const isAlike = () => {
    const [a, b] = [open.image.value, prior.image.value];
    return a !== null && b !== null && a.unit === b.unit && a.bits === b.bits;
  };
  const leaveOpen = effect(() => {
    const window = open.window.value;
    if (isAlike()) prior.window.value = window;
  });
  const leavePrior = effect(() => {
    const window = prior.window.value;
    if (isAlike()) open.window.value = window;
  });
  return () => {
    leaveOpen();
    leavePrior();
  };
}
