// The form for the token, when the instance asks for one.

import { signIn } from "./session.js";

export class SignIn {
  constructor(dialog, onSignedIn) {
    this.dialog = dialog;
    this.field = dialog.querySelector("input");
    this.refused = dialog.querySelector(".refused");
    this.button = dialog.querySelector("button[type=submit]");
    dialog.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      this.button.disabled = true;
      const answer = await signIn(this.field.value.trim());
      this.button.disabled = false;
      this.field.value = ""; // also a wrong token is a secret of somebody
      if (answer.error) {
        this.#say(`Not signed in: ${answer.error}`);
        this.field.focus();
        return;
      }
      dialog.close();
      onSignedIn(answer);
    });
    dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
  }

  open(why = "") {
    if (this.dialog.open) return;
    this.#say(why);
    this.dialog.showModal();
    this.field.focus();
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #say(text) {
    this.refused.textContent = text;
    this.field.setAttribute("aria-invalid", text ? "true" : "false");
  }
}
