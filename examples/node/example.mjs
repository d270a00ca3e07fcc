// Calls Valence with nothing but its proto: node example.mjs [ADDRESS [DEADLINE_SECONDS]]
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

// error_details.proto tells what errors carry; with `json`, such details decode by themselves.
const files = ["valence/v1/sentiment.proto", "google/rpc/error_details.proto"];
const definition = loader.loadSync(files, {
  includeDirs: [fileURLToPath(new URL("protos", import.meta.url))],
  enums: String,
  longs: Number,
  json: true,
});
const { SentimentService } = grpc.loadPackageDefinition(definition).valence.v1;
const Status = definition["google.rpc.Status"];

const REVIEWS = [
  { id: "a", text: "A quiet room, a soft bed and a view of the sea." },
  { id: "b", text: "The lift was broken and so was the promise to mend it." },
  { id: "c", text: "We will be back next year." },
];

const DOCUMENT = "The room was lovely 😍 Breakfast was cold, and nobody cared.";

async function main(address = "127.0.0.1:50051", deadlineSeconds = "10") {
  const client = new SentimentService(address, grpc.credentials.createInsecure());
  const classify = promisify(client.classify).bind(client);
  const classifyDocument = promisify(client.classifyDocument).bind(client);
  const batchClassify = promisify(client.batchClassify).bind(client);
  // A deadline is a moment, so each call gets its own.
  const withDeadline = () => ({ deadline: Date.now() + Number(deadlineSeconds) * 1000 });
  try {
    const { sentiment } = await classify({ text: "I loved every minute of it" }, withDeadline());
    console.log(`unary: ${described(sentiment)}`);

    const texts = ["Lovely place.", "", "The food was cold and nobody cared."];
    const { results } = await batchClassify({ texts }, withDeadline());
    for (const result of results) console.log(`batch: ${outcome(result)}`);

    // pipe() sends no faster than the server reads.
    const stream = Readable.from(REVIEWS).pipe(client.streamClassify(withDeadline()));
    for await (const response of stream) {
      console.log(`stream ${response.id}: ${outcome(response)}`);
    }

    // A string of JavaScript counts units of UTF-16.
    const offsetUnit = "OFFSET_UNIT_UTF16_UNITS";
    const whole = await classifyDocument({ text: DOCUMENT, offsetUnit }, withDeadline());
    console.log(`document: ${described(whole.document)}`);
    for (const { begin, end, sentiment } of whole.sentences) {
      console.log(`sentence: ${described(sentiment)}: ${DOCUMENT.slice(begin, end)}`);
    }

    await classify({ text: "" }, withDeadline()).catch((error) => {
      console.log(`refused: ${explain(statusOf(error))}`);
    });
  } finally {
    client.close();
  }
}

// Each text of a batch or a stream has its own answer or its own error.
function outcome({ sentiment, error }) {
  return error ? explain(error) : described(sentiment);
}

function described({ label, score }) {
  return `${label} ${score.toFixed(2)}`;
}

// The status with its details. There are none where the server was not reached.
function statusOf(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  return bytes ? Status.deserialize(bytes) : { code: error.code, message: error.details };
}

// What went wrong, which field is to blame, and when to come back.
function explain({ code, message, details = [] }) {
  const lines = [`${grpc.status[code]}: ${message}`];
  for (const detail of details) {
    switch (detail["@type"]) {
      case "type.googleapis.com/google.rpc.ErrorInfo":
        lines.push(`reason: ${detail.reason}`);
        break;
      case "type.googleapis.com/google.rpc.BadRequest":
        for (const { field, description } of detail.fieldViolations) {
          lines.push(`field: ${field} ${description}`);
        }
        break;
      case "type.googleapis.com/google.rpc.RetryInfo": {
        const { seconds = 0, nanos = 0 } = detail.retryDelay;
        lines.push(`retry after: ${(seconds + nanos / 1e9).toFixed(2)} s`);
        break;
      }
    }
  }
  return lines.join("\n  ");
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.metadata ? explain(statusOf(error)) : error);
  process.exitCode = 1;
});
