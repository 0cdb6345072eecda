/**
 * A `fetch` that tells how much of the body is sent; the browser's own does not.
 *
 * Rejects as `fetch` does: TypeError when the connection breaks, AbortError when it is cancelled.
 */
export function fetchWithProgress(onProgress: (share: number) => void): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const body = await request.blob();
    return new Promise<Response>((resolve, reject) => {
      const xhr = new XMLHttpRequest();
      xhr.open(request.method, request.url);
      xhr.responseType = "blob";
      request.headers.forEach((value, name) => {
        xhr.setRequestHeader(name, value);
      });
      xhr.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
      xhr.upload.onload = () => onProgress(1);
      xhr.onload = () => resolve(responseOf(xhr));
      xhr.onerror = () => reject(new TypeError("the connection broke"));
      xhr.onabort = () => reject(new DOMException("cancelled", "AbortError"));
      request.signal.addEventListener("abort", () => xhr.abort());
      if (request.signal.aborted) xhr.abort();
      else xhr.send(body);
    });
  };
}

function responseOf(xhr: XMLHttpRequest): Response {
  const lines = xhr.getAllResponseHeaders().trim().split("\r\n").filter(Boolean);
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return new Response(xhr.response as Blob, { status: xhr.status, headers });
}
