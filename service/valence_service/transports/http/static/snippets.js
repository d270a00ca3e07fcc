// A request as others would write it.

export const MAX_TEXTS = 3;

/** Return the request as pairs of title and code. It has the first texts only. */
export function snippets(texts, { token, whole }) {
  const shown = texts.slice(0, MAX_TEXTS);
  const method = texts.length > 1 ? "BatchClassify" : whole ? "ClassifyDocument" : "Classify";
  const request = JSON.stringify(texts.length > 1 ? { texts: shown } : { text: shown[0] ?? "" });
  const tls = location.protocol === "https:";
  const header = token ? '-H "authorization: Bearer $VALENCE_TOKEN" ' : "";
  const url = new URL(`valence.v1.SentimentService/${method}`, location.href).href;
  // The page does not know the port of gRPC: this is the default one.
  const host = `${location.hostname}:50051`;
  const options = (tls ? ", tls=True" : "") + (token ? ', token=os.environ["VALENCE_TOKEN"]' : "");
  const first = token ? "import os\n\n" : "";
  const body =
    texts.length > 1
      ? `    for sentiment in client.classify_batch(${JSON.stringify(shown)}):\n        print(sentiment)`
      : `    print(client.${whole ? "classify_document" : "classify"}(${JSON.stringify(shown[0] ?? "")}))`;
  return [
    ["curl", `curl ${quoted(url)} \\\n  -H 'content-type: application/json' \\\n  ${header}-d ${quoted(request)}`],
    ["Python", `${first}from valence_client import Client\n\nwith Client("${host}"${options}) as client:\n${body}`],
    ["grpcurl", `grpcurl ${tls ? "" : "-plaintext "}${header}-d ${quoted(request)} \\\n  ${quoted(host)} valence.v1.SentimentService/${method}`],
  ];
}

/** Quote a word for a POSIX shell. */
function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
