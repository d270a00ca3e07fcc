// Calls of the contract by Connect, and its errors in one form for the page.

const SERVICE = "valence.v1.SentimentService";
// google.rpc.Code, in Connect's words.
const CODES = [
  "ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found",
  "already_exists", "permission_denied", "resource_exhausted", "failed_precondition", "aborted",
  "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
];

/** An error as the service tells it. */
export class ServiceError extends Error {
  constructor({ code, message, status, requestId, details = [] }) {
    super(message);
    Object.assign(this, { code, status, requestId }, readDetails(details));
  }
}

/** Call a method; return its response. Throw ServiceError, or AbortError once the signal aborts. */
export async function call(method, request, { token, signal } = {}) {
  const headers = { "content-type": "application/json", "connect-protocol-version": "1" };
  if (token) headers.authorization = `Bearer ${token}`;
  let response;
  let body;
  try {
    // The path is relative, so that the page works below a prefix.
    response = await fetch(`${SERVICE}/${method}`, {
      method: "POST", headers, body: JSON.stringify(request), signal, cache: "no-store",
    });
    body = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError({ code: "unavailable", message: "The server cannot be reached." });
  }
  let value;
  try {
    value = JSON.parse(body);
  } catch {
    value = undefined;
  }
  if (response.ok && value) return value;
  throw new ServiceError({
    code: value?.code ?? "unknown",
    message: value?.message || `The server answered with HTTP status ${response.status}.`,
    status: response.status,
    requestId: response.headers.get("x-request-id"),
    details: value?.details,
  });
}

/** Return the error of one text of a batch, which is a google.rpc.Status. */
export function textError(status) {
  return new ServiceError({
    code: CODES[status.code] ?? "unknown", message: status.message, details: status.details,
  });
}

/** Return the seconds of a Duration in JSON, such as "0.004s". */
export function seconds(duration) {
  return duration === undefined ? undefined : Number.parseFloat(duration);
}

function readDetails(details) {
  const found = {};
  for (const detail of details) {
    const type = (detail.type ?? detail["@type"] ?? "").split("/").pop();
    const value = detail["@type"] ? detail : detail.debug ?? decode(type, detail.value);
    if (type === "google.rpc.ErrorInfo") {
      found.reason = value.reason;
      found.incident = value.metadata?.id;
    } else if (type === "google.rpc.BadRequest") {
      [found.violation] = value.fieldViolations ?? [];
    } else if (type === "google.rpc.RetryInfo") {
      found.retrySeconds = seconds(value.retryDelay);
    }
  }
  return found;
}

/** Decode a detail of Connect: the bytes of its message in base64. */
function decode(type, value = "") {
  const message = fields(Uint8Array.from(atob(value), (c) => c.charCodeAt(0)));
  const text = (bytes) => new TextDecoder().decode(bytes);
  if (type === "google.rpc.ErrorInfo") {
    const metadata = (message[3] ?? []).map((entry) => fields(entry)).map((e) => [text(e[1][0]), text(e[2][0])]);
    return { reason: text(message[1]?.[0]), metadata: Object.fromEntries(metadata) };
  }
  if (type === "google.rpc.BadRequest") {
    const violations = (message[1] ?? []).map((entry) => fields(entry));
    return { fieldViolations: violations.map((v) => ({ field: text(v[1]?.[0]), description: text(v[2]?.[0]) })) };
  }
  if (type === "google.rpc.RetryInfo") {
    const delay = fields(message[1]?.[0] ?? new Uint8Array());
    return { retryDelay: `${(delay[1]?.[0] ?? 0) + (delay[2]?.[0] ?? 0) / 1e9}s` };
  }
  return {};
}

/** Return the values of each field of a message in protobuf's wire format: numbers and bytes. */
function fields(bytes) {
  const found = {};
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; at < bytes.length; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const type = tag & 7;
    if (type !== 0 && type !== 2) break; // these messages have no others
    let value = varint();
    if (type === 2) value = bytes.subarray(at, (at += value));
    (found[tag >> 3] ??= []).push(value);
  }
  return found;
}
