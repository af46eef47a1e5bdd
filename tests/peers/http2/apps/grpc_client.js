// gRPC by @grpc/grpc-js: `node grpc_client.js HOST:PORT [SECONDS]` makes calls of each kind and prints what it found.
// With SECONDS it makes unary calls and long streams all the time, and prints what failed.
"use strict";
const grpc = require("@grpc/grpc-js");

const [address, seconds = "0"] = process.argv.slice(2);
const client = new grpc.Client(address, grpc.credentials.createInsecure());
const same = (data) => data;
const path = (name) => `/test.Echo/${name}`;

function unary(name, data, options = {}, metadata = new grpc.Metadata()) {
  return new Promise((resolve) => {
    const result = {};
    const call = client.makeUnaryRequest(path(name), same, same, data, metadata, options, (error, reply) => {
      Object.assign(result, error ? { code: error.code, details: error.details } : { code: 0, size: reply.length, text: reply.toString("latin1", 0, 20) });
    });
    call.on("metadata", (found) => { result.first = found.get("x-first"); });
    call.on("status", (status) => { result.last = status.metadata.get("x-last"); resolve(result); });
  });
}

function replies(call) {
  return new Promise((resolve) => {
    const found = { texts: [] };
    call.on("data", (data) => found.texts.push(data.toString("latin1", 0, 20)));
    call.on("error", () => {});
    call.on("status", (status) => resolve({ ...found, code: status.code, last: status.metadata.get("x-last") }));
  });
}

async function find() {
  const metadata = new grpc.Metadata();
  metadata.set("x-asked-bin", Buffer.from([0, 255, 1]));
  const found = {
    unary: await unary("Unary", Buffer.from("hello"), {}, metadata),
    empty: await unary("Unary", Buffer.alloc(0)),
    large: (await unary("Unary", Buffer.alloc(3000000, "x"))).size,
    error: await unary("Fail", Buffer.from("nobody may")),
    unknown: (await unary("Nothing", Buffer.from("x"))).code,
    late: (await unary("Wait", Buffer.from("late"), { deadline: Date.now() + 300 })).code,
    replies: await replies(client.makeServerStreamRequest(path("Replies"), same, same, Buffer.from("5"))),
  };
  const requests = await new Promise((resolve) => {
    const call = client.makeClientStreamRequest(path("Requests"), same, same, (error, reply) => resolve(error ? error.code : reply.toString()));
    for (let number = 0; number < 100; number++) call.write(Buffer.from(`${number}`));
    call.end();
  });
  const both = client.makeBidiStreamRequest(path("Both"), same, same);
  const echoed = replies(both);
  for (let number = 0; number < 3; number++) {
    both.write(Buffer.from(`turn ${number}`));
    await new Promise((resolve) => both.once("data", resolve));
  }
  both.end();
  const cancelled = client.makeServerStreamRequest(path("Wait"), same, same, Buffer.from("cancelled"));
  const end = replies(cancelled);
  cancelled.once("data", () => cancelled.cancel());
  return { ...found, requests, both: await echoed, cancelled: (await end).code };
}

async function go_on() {
  const deadline = Date.now() + Number(seconds) * 1000;
  const result = { answered: 0, streams: 0, failed: [] };
  const calls = async () => {
    while (Date.now() < deadline) {
      const reply = await unary("Unary", Buffer.from("hello"));
      if (reply.code === 0 && reply.text === "hello") result.answered += 1;
      else result.failed.push(reply);
    }
  };
  const streams = async () => {
    while (Date.now() < deadline) {
      const reply = await replies(client.makeServerStreamRequest(path("Slowly"), same, same, Buffer.from("20")));
      if (reply.code === 0 && reply.texts.length === 20) result.streams += 1;
      else result.failed.push(reply);
    }
  };
  await Promise.all([calls(), calls(), streams(), streams()]);
  return result;
}

(Number(seconds) ? go_on() : find()).then((found) => {
  console.log(JSON.stringify(found));
  client.close();
});
