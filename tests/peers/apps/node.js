// The site for Node's own HTTP server, and a tunnel for whoever asks for one.
"use strict";
const crypto = require("crypto");
const http = require("http");

const [host, port] = process.argv[2].split(":");
const parts = [];
for (let number = 0; number < 160000; number++) parts.push(crypto.createHash("sha256").update(String(number)).digest());
const BIG = Buffer.concat(parts);
const COOKIES = ["a=1; Path=/", "b=2; Path=/; HttpOnly"];

const server = http.createServer((request, response) => {
  const [path, query = ""] = request.url.split("?");
  const whole = (status, body, fields = {}) => {
    response.writeHead(status, { "Content-Length": Buffer.byteLength(body), ...fields });
    response.end(body);
  };
  response.setHeader("X-Remote-Port", request.socket.remotePort);
  if (path === "/hello") {
    if (request.headers["if-none-match"] === '"v1"') response.writeHead(304, { ETag: '"v1"' }).end();
    else whole(200, "hello\n", { "Content-Type": "text/plain", ETag: '"v1"', "Set-Cookie": COOKIES });
  } else if (path === "/big") {
    whole(200, BIG, { "Content-Type": "application/octet-stream" });
  } else if (path === "/pieces") {
    response.writeHead(200, { "Content-Type": "text/plain" });
    for (let start = 0; start < 50000; start += 1000) response.write(BIG.subarray(start, start + 1000));
    response.end();
  } else if (path === "/events") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    let number = 0;
    const timer = setInterval(() => {
      response.write(`data: ${number++}\n\n`);
      if (number === 3) { clearInterval(timer); response.end(); }
    }, 50);
  } else if (path.startsWith("/status/")) {
    const status = Number(path.slice(8));
    if (status === 204) response.writeHead(204, { "Content-Type": "text/plain" }).end();
    else whole(status, "so.\n", { "Content-Type": "text/plain" });
  } else if (path === "/away") {
    whole(302, "", { Location: "/hello" });
  } else if (path === "/refuse") {
    whole(413, "too large\n", { Connection: "close" });
  } else if (path === "/echo") {
    const body = [];
    request.on("data", (data) => body.push(data));
    request.on("end", () => {
      const data = Buffer.concat(body);
      whole(200, JSON.stringify({
        method: request.method, query, host: request.headers.host, custom: request.headers["x-custom"] || "",
        size: data.length, sha: crypto.createHash("sha256").update(data).digest("hex"),
      }), { "Content-Type": "application/json" });
    });
  } else {
    whole(404, "");
  }
});
server.on("upgrade", (request, socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  socket.pipe(socket);
});
server.listen(Number(port), host);
