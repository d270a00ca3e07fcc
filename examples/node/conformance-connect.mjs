// The same as conformance.mjs over HTTP: node conformance-connect.mjs TRANSPORT URL FILE
//
// TRANSPORT is one of connect-json, connect-binary, grpc-web (Node's own), web-connect-json,
// web-connect-binary, web-grpc-web (as in a browser).
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import * as ofNode from "@connectrpc/connect-node";
import * as ofWeb from "@connectrpc/connect-web";

const DEADLINE_MILLISECONDS = 60_000;

const descriptors = readFileSync(new URL("protos/image.binpb", import.meta.url));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
const service = registry.getService("valence.v1.SentimentService");
const details = ["ErrorInfo", "BadRequest", "RetryInfo"].map((name) =>
  registry.getMessage(`google.rpc.${name}`),
);

const [transport, baseUrl, path] = process.argv.slice(2);
const client = createClient(service, createTransport(transport, baseUrl));
for (const line of readFileSync(path, "utf8").trimEnd().split("\n")) {
  const { method, request } = JSON.parse(line);
  console.log(JSON.stringify(await outcome(method, request)));
}

function createTransport(name, baseUrl) {
  const web = name.startsWith("web-");
  const options = {
    baseUrl,
    useBinaryFormat: !name.endsWith("json"),
    // The errors of a batch's texts are messages of these types, packed.
    jsonOptions: { registry },
    defaultTimeoutMs: DEADLINE_MILLISECONDS,
    ...(web ? {} : { httpVersion: "1.1" }),
  };
  const { createConnectTransport, createGrpcWebTransport } = web ? ofWeb : ofNode;
  return name.endsWith("grpc-web")
    ? createGrpcWebTransport(options)
    : createConnectTransport(options);
}

async function outcome(method, request) {
  const { input, output, localName } = service.methods.find(({ name }) => name === method);
  try {
    const response = await client[localName](fromJson(input, request, { registry }));
    return { code: 0, responses: [toJson(output, response, { registry })], status: {} };
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    const found = details.flatMap((schema) =>
      error.findDetails(schema).map((detail) => ({
        "@type": `type.googleapis.com/${schema.typeName}`,
        ...toJson(schema, detail),
      })),
    );
    const status = { code, message: rawMessage, details: found };
    return { code, responses: [], status };
  }
}
