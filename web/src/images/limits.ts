/** Beyond this many pixels a browser tab may run out of memory; the service takes them still. */
export const MAX_PREVIEW_PIXELS = 80_000_000;
