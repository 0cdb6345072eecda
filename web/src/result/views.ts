/** PS3.3 C.8.11.5.1.1 and the words that devices write instead. */
const LATERAL = /^(LL|RL|LAT.*|LLAT.*|RLAT.*|PROFIL.*)$/;
/** Left and right lateral decubitus are frontal views. */
const DECUBITUS = /DECUB|LLD|RLD/;

/** Whether a DICOM View Position means a view from the side. */
export const isLateral = (view: string | null | undefined): boolean =>
  view != null && LATERAL.test(view.toUpperCase()) && !DECUBITUS.test(view.toUpperCase());
