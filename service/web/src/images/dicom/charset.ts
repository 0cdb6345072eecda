/** Web encodings for the DICOM character sets without code extensions. Source: PS3.3 C.12.1.1.2. */
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

/** Decode a text value; padding (spaces, a null byte) is cut off. */
export function decodeText(bytes: Uint8Array, characterSet: string): string {
  const name = characterSet.split("\\").find((part) => part.trim() in ENCODINGS) ?? "";
  const decoder = new TextDecoder(ENCODINGS[name.trim()] ?? "iso-8859-1");
  const text = decoder.decode(bytes);
  return text.replace(/[\s\0]+$/, "").trim();
}
