/** Change a picture's pixels, in place. */
export type Redraw = (rgba: Uint8ClampedArray, width: number, height: number) => void;

export interface Layer {
  readonly canvas: HTMLCanvasElement;
  /** Nothing of it would be seen. */
  readonly isBlank: boolean;
}

/** A picture of the service, redrawn and ready to be laid over the radiograph. */
export async function overlay(picture: Blob, redraw: Redraw): Promise<Layer> {
  const bitmap = await createImageBitmap(picture);
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d");
  if (!context) return { canvas, isBlank: true };
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const data = context.getImageData(0, 0, canvas.width, canvas.height);
  redraw(data.data, canvas.width, canvas.height);
  context.putImageData(data, 0, 0);
  const isBlank = data.data.every((value, at) => at % 4 !== 3 || value === 0);
  return { canvas, isBlank };
}
