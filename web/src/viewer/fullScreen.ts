/** The viewer alone on the whole screen, or back. A browser that does not let us stays as it is. */
export function toggleFullScreen(): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else
    void document
      .querySelector(".viewer")
      ?.requestFullscreen?.()
      .catch(() => {});
}
