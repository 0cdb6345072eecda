// What every client of this folder is given: the service, an image, and the way to tell the outcome.
import { readFileSync } from "node:fs";

export const [url, imagePath] = process.argv.slice(2) as [string, string];
export const image = new File([readFileSync(imagePath)], "chest.jpeg", { type: "image/jpeg" });
export const letter = new File(["a letter"], "letter.txt");

type Result = { status: string; decision?: string; problem?: { type: string } };

export function tell(files: Result[], whole: Result[], problem: string | undefined): void {
  const words = (results: Result[]) => results.map((each) => each.decision ?? each.problem?.type);
  console.log(JSON.stringify({ files: words(files), whole: words(whole), problem }));
}
