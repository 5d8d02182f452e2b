"use strict";
// The terminal is textual-serve's. Here: where its socket is, the focus, and coming back after a disconnection.
const terminal = document.getElementById("terminal");
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
terminal.dataset.sessionWebsocketUrl = `${scheme}//${location.host}/ws`;
const gone = document.getElementById("gone");
const said = document.getElementById("said");
let code = 0;
const Plain = window.WebSocket;
window.WebSocket = class extends Plain {
  constructor(...words) {
    super(...words);
    this.addEventListener("close", (event) => { code = event.code; lost(); });
  }
};
function focus() {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field && document.activeElement !== field) field.focus({ preventScroll: true });
  return Boolean(field);
}
const waiting = setInterval(() => { if (focus()) clearInterval(waiting); }, 50);
addEventListener("focus", focus);
addEventListener("pointerup", () => setTimeout(focus, 0));
function lost() {
  document.body.classList.add("-gone");
  const texts = JSON.parse(document.body.dataset.texts);
  if (code === 4000) said.textContent = texts.ended;
  else if (code === 4001) said.textContent = texts.elsewhere;
  else if (code === 4002) said.textContent = texts.full;
  else { said.textContent = texts.back; again(1000); }
}
async function again(pause) {
  await new Promise((done) => setTimeout(done, pause));
  try {
    await fetch("/alive", { cache: "no-store" });
    location.reload();
  } catch { again(Math.min(pause * 1.5, 10000)); }
}
document.getElementById("restart").addEventListener("click", () => location.reload());
