// Reads server-sent events (WHATWG HTML section 9.2) from a fetch: unlike EventSource it tells a 401 from a 503, and may
// be given up at any time.

/** Call `onEvent(name, data)` for each event until the stream ends or is aborted. */
export async function readEvents(response, onEvent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = []; // of the line that is not complete yet; a state of 2,000 backends comes in many pieces
  let name = "message";
  let data = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = value.split("\n");
    for (const [index, piece] of lines.entries()) {
      parts.push(piece);
      if (index === lines.length - 1) break; // the rest comes later
      const line = parts.join("").replace(/\r$/, "");
      parts = [];
      if (line === "") {
        if (data.length) onEvent(name, data.join("\n"));
        name = "message";
        data = [];
      } else if (line.startsWith("event:")) {
        name = line.slice(6).trim();
      } else if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
  }
}
