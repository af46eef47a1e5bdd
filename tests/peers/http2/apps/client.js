// Node's client of HTTP/2: `node client.js URL [SECONDS]` asks for what the site has on one connection, and prints what it found.
// With SECONDS it asks again and again, on a new connection once the old one is told to go, and prints how often and what failed.
"use strict";
const crypto = require("crypto");
const http2 = require("http2");

const url = process.argv[2];
const seconds = Number(process.argv[3] || 0);
const UPLOAD = Buffer.concat(Array.from({ length: 8000 }, () => Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))));
const sha = (data) => crypto.createHash("sha256").update(data).digest("hex");

function connect() {
  const session = http2.connect(url, { rejectUnauthorized: false });
  session.isLeft = false;
  session.on("goaway", () => { session.isLeft = true; });
  session.on("close", () => { session.isLeft = true; });
  session.on("error", () => { session.isLeft = true; });
  return session;
}

function ask(session, path, { method = "GET", body = null } = {}) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": path, ":method": method }, { endStream: body === null });
    const parts = [];
    let fields = {};
    stream.on("response", (found) => { fields = found; });
    stream.on("data", (data) => parts.push(data));
    stream.on("end", () => resolve({ status: fields[":status"], fields, body: Buffer.concat(parts) }));
    stream.on("error", reject);
    if (body !== null) stream.end(body);
  });
}

async function find() {
  const session = connect();
  const many = await Promise.all(Array.from({ length: 40 }, (_, number) => ask(session, `/hello?${number}`)));
  const head = await ask(session, "/hello", { method: "HEAD" });
  const statuses = await Promise.all([204, 404, 500].map((status) => ask(session, `/status/${status}`)));
  const big = await Promise.all([1, 2, 3].map(() => ask(session, "/big")));
  const found = {
    many: many.filter((reply) => reply.status === 200 && reply.body.toString() === "hello\n").length,
    head: [head.status, head.fields["content-length"], head.body.length],
    statuses: statuses.map((reply) => reply.status),
    big: big.map((reply) => sha(reply.body)),
    pieces: sha((await ask(session, "/pieces")).body),
    upload: JSON.parse((await ask(session, "/echo", { method: "POST", body: UPLOAD })).body).sha,
    protocol: "HTTP/2.0",
  };
  session.close();
  return found;
}

async function go_on() {
  const deadline = Date.now() + seconds * 1000;
  const result = { answered: 0, connections: 0, again: 0, failed: [] };
  let session = { isLeft: true };
  async function one(number) {
    while (Date.now() < deadline) {
      if (session.isLeft) {
        session = connect();
        result.connections += 1;
      }
      const mine = session;
      try {
        const asked = number % 2 ? ["/echo", { method: "POST", body: Buffer.from(`${number}`) }] : [`/hello?${number}`];
        const reply = await ask(mine, ...asked);
        if (reply.status === 200) result.answered += 1;
        else result.failed.push(`status ${reply.status}`);
      } catch (error) {
        // What Node has not sent yet when it is told to go it refuses itself; it is sent again (RFC 9113 section 8.7).
        if (mine.isLeft && String(error).includes("NGHTTP2_REFUSED_STREAM")) result.again += 1;
        else result.failed.push(String(error));
      }
    }
  }
  await Promise.all([0, 1, 2, 3].map(one));
  session.close();
  return result;
}

(seconds ? go_on() : find()).then((found) => console.log(JSON.stringify(found)));
