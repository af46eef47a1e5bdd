// The site for Node's own HTTP/2 server: `node server.js HOST:PORT [CERT KEY]`; without a certificate by prior knowledge.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const http2 = require("http2");

const [host, port] = process.argv[2].split(":");
const [cert, key] = process.argv.slice(3);
const parts = [];
for (let number = 0; number < 160000; number++) parts.push(crypto.createHash("sha256").update(String(number)).digest());
const BIG = Buffer.concat(parts);

const server = cert
  ? http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) })
  : http2.createServer();
server.on("stream", (stream, fields) => {
  stream.on("error", () => {});
  const [path, query = ""] = fields[":path"].split("?");
  const method = fields[":method"];
  const whole = (status, body, more = {}) => {
    stream.respond({ ":status": status, "content-length": Buffer.byteLength(body), ...more }, { endStream: method === "HEAD" });
    if (method !== "HEAD") stream.end(body);
  };
  if (path === "/hello") whole(200, "hello\n", { "content-type": "text/plain", "set-cookie": ["a=1; Path=/", "b=2; Path=/"] });
  else if (path === "/big") whole(200, BIG);
  else if (path === "/pieces") {
    stream.respond({ ":status": 200 });
    for (let start = 0; start < 50000; start += 1000) stream.write(BIG.subarray(start, start + 1000));
    stream.end();
  } else if (path === "/status/204") stream.respond({ ":status": 204 }, { endStream: true });
  else if (path.startsWith("/status/")) whole(Number(path.slice(8)), "so.\n");
  else if (path === "/echo") {
    const body = [];
    stream.on("data", (data) => body.push(data));
    stream.on("end", () => {
      const data = Buffer.concat(body);
      whole(200, JSON.stringify({
        method, query, host: fields[":authority"], size: data.length,
        sha: crypto.createHash("sha256").update(data).digest("hex"),
      }));
    });
  } else whole(404, "");
});
server.listen(Number(port), host);
