// The bar of the two roles. Kept in step by `facts`; what is clicked or typed goes to Python,
// which decides. In JupyterLab it sits at the foot of the notebook, where it stays in view.

const SILENCE = 3000; // milliseconds after which a kernel that does not answer is reported

function element(parent, tag, name, text) {
  const made = document.createElement(tag);
  made.className = `reimpl-${name}`;
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

function clock(ends) {
  const left = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
  return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

function render({ model, el }) {
  const bar = document.createElement("section");
  bar.className = "reimpl-bar";
  bar.setAttribute("aria-label", "Who drives");
  bar.dataset.lmSuppressShortcuts = "true"; // a letter typed here is no command of JupyterLab
  const roles = element(bar, "div", "roles");
  const driver = element(roles, "span", "driver");
  const navigator = element(roles, "span", "navigator");
  const also = element(roles, "span", "also");
  const time = element(roles, "span", "time");
  const pieces = element(roles, "span", "pieces");
  const hand = element(roles, "button", "hand", "Raise hand");
  const swap = element(roles, "button", "swap", "Swap");
  const ask = element(bar, "form", "ask");
  const note = element(bar, "div", "note");
  note.setAttribute("role", "status");
  let unanswered, shown;

  function send(message) {
    model.send(message);
    clearTimeout(unanswered);
    unanswered = setTimeout(() => {
      note.textContent =
        "No answer from the kernel yet. It is busy with a cell; or it was restarted, " +
        "then run the first code cell again.";
    }, SILENCE);
  }

  function predict(said) {
    send({ do: "predict", piece: model.get("facts").question.piece, said });
  }

  function showQuestion(question) {
    if (JSON.stringify(question) === shown) return; // else what is being typed would go
    shown = JSON.stringify(question);
    ask.replaceChildren();
    if (!question.text) return;
    const label = element(ask, "label", "question", question.text);
    const answers = element(ask, "span", "answers");
    if (question.choices.length) {
      for (const choice of question.choices) {
        const button = element(answers, "button", "choice", choice);
        button.type = "button";
        button.onclick = () => predict(choice);
      }
    } else {
      const answer = element(answers, "input", "answer");
      label.htmlFor = answer.id = `reimpl-${Math.random().toString(36).slice(2)}`;
      answer.placeholder = "such as 3, 7";
      answer.autocomplete = "off";
      const say = element(answers, "button", "say", "Predict");
      say.type = "submit";
      ask.onsubmit = (event) => {
        event.preventDefault();
        if (answer.value.trim()) predict(answer.value);
      };
    }
    const pass = element(answers, "button", "pass", "Pass");
    pass.type = "button";
    pass.onclick = () => predict("");
  }

  function show() {
    clearTimeout(unanswered);
    const facts = model.get("facts");
    driver.textContent = `${facts.driver} drives`;
    navigator.textContent = `${facts.navigator} navigates`;
    also.textContent = facts.also_here.map((name) => `${name} is next`).join(", ");
    pieces.textContent = `${facts.done} of ${facts.total} pieces`;
    hand.setAttribute("aria-pressed", facts.hand);
    note.textContent = facts.note;
    showQuestion(facts.question);
    tick();
  }

  let asked = 0;
  function tick() {
    const facts = model.get("facts");
    time.textContent = `swap in ${clock(facts.ends)}`;
    const due = Date.now() >= facts.ends && document.visibilityState === "visible";
    if (due && asked !== facts.turn) {
      asked = facts.turn;
      send({ do: "swap", turn: facts.turn, why: "clock" });
    }
  }

  hand.type = "button";
  hand.onclick = () => send({ do: "hand", raised: !model.get("facts").hand });
  swap.type = "button";
  swap.onclick = () => send({ do: "swap", turn: model.get("facts").turn, why: "asked" });
  model.on("change:facts", show);
  const ticking = setInterval(tick, 500);

  el.append(bar);
  const docking = setInterval(() => {
    if (!el.isConnected) return;
    clearInterval(docking);
    const panel = el.closest(".jp-NotebookPanel");
    if (!panel) return;
    panel.querySelectorAll(":scope > .reimpl-bar").forEach((older) => older.remove());
    panel.append(bar);
    bar.classList.add("reimpl-docked");
    element(el, "div", "note", "At the foot of this notebook you see who drives.");
  }, 50);
  show();

  return () => {
    clearInterval(ticking);
    clearInterval(docking);
    clearTimeout(unanswered);
    model.off("change:facts", show);
    bar.remove();
  };
}

export default { render };
