// Makes the calls of a file and says what came back: node conformance.mjs ADDRESS FILE
//
// Each line of FILE names a method and holds a request as JSON; each line printed is its outcome.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const DEADLINE_MILLISECONDS = 60_000;

const files = ["valence/v1/sentiment.proto", "google/rpc/error_details.proto"];
const definition = loader.loadSync(files, {
  includeDirs: [fileURLToPath(new URL("protos", import.meta.url))],
  enums: String,
  longs: Number,
  json: true,
});
const { SentimentService } = grpc.loadPackageDefinition(definition).valence.v1;
const Status = definition["google.rpc.Status"];

const [address, path] = process.argv.slice(2);
const client = new SentimentService(address, grpc.credentials.createInsecure());
for (const line of readFileSync(path, "utf8").trimEnd().split("\n")) {
  const { method, request } = JSON.parse(line);
  console.log(JSON.stringify(await outcome(method, request), jsonDurations));
}
client.close();

async function outcome(method, request) {
  try {
    return { code: grpc.status.OK, responses: await responses(method, request), status: {} };
  } catch (error) {
    if (!error.metadata) throw error;
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const status = bytes ? Status.deserialize(bytes) : { code: error.code, message: error.details };
    return { code: error.code, responses: [], status };
  }
}

// What a call is answered with: for a stream of one request, all of its responses.
async function responses(method, request) {
  const options = { deadline: Date.now() + DEADLINE_MILLISECONDS };
  if (method === "StreamClassify") {
    const stream = client.StreamClassify(options);
    stream.end(request);
    return stream.toArray();
  }
  return new Promise((resolve, reject) => {
    client[method](request, options, (error, response) =>
      error ? reject(error) : resolve([response]),
    );
  });
}

// In JSON, a Duration is a string of seconds; proto-loader leaves it a message.
function jsonDurations(key, value) {
  if (key !== "retryDelay") return value;
  const { seconds = 0, nanos = 0 } = value;
  return `${(seconds + nanos / 1e9).toFixed(3)}s`;
}
