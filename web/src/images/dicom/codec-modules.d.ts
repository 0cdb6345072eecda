declare module "@cornerstonejs/codec-openjpeg/decodewasmjs" {
  const load: (options: {
    locateFile: () => string;
    print: () => void;
    printErr: () => void;
  }) => Promise<{
    J2KDecoder: new () => import("./codecs").WasmDecoder;
  }>;
  export default load;
}
declare module "@cornerstonejs/codec-charls/decodewasmjs" {
  const load: (options: {
    locateFile: () => string;
    print: () => void;
    printErr: () => void;
  }) => Promise<{
    JpegLSDecoder: new () => import("./codecs").WasmDecoder;
  }>;
  export default load;
}
declare module "*/decodewasm?url" {
  const url: string;
  export default url;
}
