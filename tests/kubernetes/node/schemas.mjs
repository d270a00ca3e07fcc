// Reads manifests as a JSON array from stdin, and writes their faults as one: what a schema forbids,
// and fields that it does not know.
import { text } from "node:stream/consumers";

const PACKAGES = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

// The validators ignore fields that they do not know: they never read them. A validator that reads
// the names of all fields allows any.
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const kept = Array.isArray(value) ? [] : {};
  for (const [key, child] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
    if (!Array.isArray(value)) unread.add(at);
    kept[key] = watched(child, at, unread);
  }
  const read = (key) => unread.delete(`${path}.${String(key)}`);
  return new Proxy(kept, {
    get: (target, key) => (read(key), target[key]),
    ownKeys: (target) => (Object.keys(target).forEach(read), Reflect.ownKeys(target)),
  });
}

const faults = [];
for (const manifest of JSON.parse(await text(process.stdin))) {
  const [group] = manifest.apiVersion.split("/");
  const models = await import(`@kubernetes-models/${PACKAGES[group]}/${manifest.apiVersion}`);
  const name = `${manifest.kind} ${manifest.metadata.name}: `;
  const unread = new Set();
  try {
    models[manifest.kind].prototype.validate.call(watched(manifest, "", unread));
  } catch (error) {
    faults.push(name + error.message);
  }
  faults.push(...[...unread].map((path) => `${name}${path.slice(1)} is unknown`));
}
console.log(JSON.stringify(faults));
