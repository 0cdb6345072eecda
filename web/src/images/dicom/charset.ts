/** Web encodings for the DICOM character sets. Source: PS3.3 C.12.1.1.2. */
const ENCODINGS: Readonly<Record<string, string>> = {
  "ISO_IR 100": "iso-8859-1",
  "ISO_IR 101": "iso-8859-2",
  "ISO_IR 109": "iso-8859-3",
  "ISO_IR 110": "iso-8859-4",
  "ISO_IR 144": "iso-8859-5",
  "ISO_IR 127": "iso-8859-6",
  "ISO_IR 126": "iso-8859-7",
  "ISO_IR 138": "iso-8859-8",
  "ISO_IR 148": "iso-8859-9",
  "ISO_IR 13": "shift_jis",
  "ISO_IR 166": "tis-620",
  "ISO_IR 192": "utf-8",
  GB18030: "gb18030",
  GBK: "gbk",
};

const ESCAPE = 0x1b;
const BACK = [..."^="].map((letter) => letter.charCodeAt(0));
const UNKNOWN = "replacement";

/** What an escape sequence, here without its first byte, switches to. Source: PS3.3 C.12.1.1.2. */
const ESCAPES: readonly (readonly [sequence: string, encoding: string])[] = [
  // Two bytes for each letter; a browser knows them with their escape sequence alone.
  ["$B", "iso-2022-jp"],
  ["$(D", UNKNOWN],
  // In these two the letters have their high bit set, as in the encodings that browsers know.
  ["$)C", "euc-kr"],
  ["$)A", "gbk"],
  ["(B", "ascii"],
  ["(J", "ascii"],
  [")I", "shift_jis"],
  ["-A", "iso-8859-1"],
  ["-B", "iso-8859-2"],
  ["-C", "iso-8859-3"],
  ["-D", "iso-8859-4"],
  ["-L", "iso-8859-5"],
  ["-G", "iso-8859-6"],
  ["-F", "iso-8859-7"],
  ["-H", "iso-8859-8"],
  ["-M", "iso-8859-9"],
  ["-T", "tis-620"],
];

/** Decode a text value; padding (spaces, a null byte) is cut off. */
export function decodeText(bytes: Uint8Array, characterSet: string): string {
  const initial = initialEncoding(characterSet.split("\\").map((name) => name.trim()));
  const text = parts(bytes)
    .map((part) => decodePart(part, initial))
    .join("");
  return text.replace(/[\s\0]+$/, "").trim();
}

/** The encoding before any escape sequence. */
function initialEncoding([first = "", ...others]: readonly string[]): string {
  // A file that names no character set is often Latin all the same.
  if (first === "" && others.length === 0) return "iso-8859-1";
  return ENCODINGS[first.replace("ISO 2022 IR", "ISO_IR")] ?? "ascii";
}

/** Cut before each escape sequence. */
function parts(bytes: Uint8Array): Uint8Array[] {
  const cuts = [...bytes.keys()].filter((at) => at > 0 && bytes[at] === ESCAPE);
  return [0, ...cuts].map((start, index) => bytes.subarray(start, cuts[index]));
}

function decodePart(part: Uint8Array, initial: string): string {
  if (part[0] !== ESCAPE) return decodeAs(part, initial);
  const start = String.fromCharCode(...part.subarray(1, 4));
  const [sequence, encoding] = ESCAPES.find(([known]) => start.startsWith(known)) ?? ["", UNKNOWN];
  if (encoding === "iso-2022-jp") return decodeAs(part, encoding);
  const text = part.subarray(1 + sequence.length);
  // A delimiter of names switches back. Source: PS3.5 6.1.2.5.3.
  const found = text.findIndex((byte) => BACK.includes(byte));
  const end = found < 0 ? text.length : found;
  return decodeAs(text.subarray(0, end), encoding) + decodeAs(text.subarray(end), initial);
}

/** A wrong letter in a name is worse than a mark that says that there is one. */
function decodeAs(bytes: Uint8Array, encoding: string): string {
  if (encoding !== UNKNOWN && encoding !== "ascii") return new TextDecoder(encoding).decode(bytes);
  // The delimiters of names are ASCII in every character set, and so are the marks between them.
  return [...bytes]
    .map((byte) => (isSure(byte, encoding) ? String.fromCharCode(byte) : "\ufffd"))
    .join("");
}

const DELIMITERS = [..." =^\\\0"].map((letter) => letter.charCodeAt(0));

const isSure = (byte: number, encoding: string): boolean =>
  encoding === "ascii" ? byte < 0x80 : DELIMITERS.includes(byte);
