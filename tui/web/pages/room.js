"use strict";
// A student in a room: what the room sees, votes, handing in. The server answers when something has changed.
const id = (name) => document.getElementById(name);
const texts = JSON.parse(document.body.dataset.texts);
let version = -1, shown = null;
const say = (text) => { id("word").textContent = text; };
async function post(path, values) {
  try {
    const answer = await fetch(path, { method: "POST", body: new URLSearchParams(values) });
    const told = await answer.json();
    say(told.word || "");
    return told;
  } catch { say(texts.back); return {}; }
}
function vote(answer) { post("/vote", { answer }).then(() => listen(true)); }
function draw(room) {
  id("title").textContent = room.title;
  id("where").textContent = room.where;
  if (!shown || shown.text !== room.text) id("text").innerHTML = room.text;
  if (!shown || shown.picture !== room.picture) {
    id("picture").hidden = !room.picture;
    if (room.picture) id("picture").src = `/picture.svg?v=${room.picture}`;
  }
  const asked = room.ask + JSON.stringify([room.choices, room.round, room.mine]);
  if (!shown || shown.asked !== asked) question(room);
  room.asked = asked;
  shown = room;
}
function question(room) {
  id("ask").innerHTML = room.ask;
  const answers = id("answers");
  answers.replaceChildren();
  if (!room.round) {
    if (shown && shown.round) say("");
    return;
  }
  room.choices.forEach((choice, at) => {
    const button = document.createElement("button");
    button.className = "answer";
    button.innerHTML = `${at + 1}. ${choice}`;
    button.setAttribute("aria-pressed", String(room.mine === String(at + 1)));
    button.addEventListener("click", () => vote(String(at + 1)));
    answers.append(button);
  });
  if (!room.choices.length && room.ask) {
    const form = document.createElement("form");
    const field = document.createElement("input");
    field.name = "answer"; field.inputMode = "numeric"; field.autocomplete = "off"; field.value = room.mine;
    field.setAttribute("aria-label", texts.number);
    const button = document.createElement("button");
    button.className = "go"; button.textContent = texts.vote;
    form.append(field, button);
    form.addEventListener("submit", (event) => { event.preventDefault(); vote(field.value); });
    answers.append(form);
    field.focus();
  }
  say(stands(room));
}
function stands(room) {
  if (!room.round) return "";
  return room.mine ? texts.voted : room.round > 1 ? texts.again : "";
}
let listening = 0, gone = false;
async function listen(once) {
  const mine = ++listening;
  for (;;) {
    try {
      const answer = await fetch(`/room?v=${once ? -1 : version}`, { cache: "no-store" });
      if (answer.status === 403) { location.reload(); return; }
      const room = await answer.json();
      if (mine !== listening) return;
      once = false;
      version = room.version;
      draw(room);
      if (gone) say(stands(room));
      gone = false;
    } catch {
      gone = true;
      say(texts.back);
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}
id("hand-in").addEventListener("click", () => post("/hand-in", {}));
listen(false);
