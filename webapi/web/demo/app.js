// The page's start: who is this, and then the chat.
import { Api, ApiError } from "./api.js";
import { Chat } from "./chat.js";
import { byId } from "./dom.js";
import { Login } from "./login.js";
import { lastNickname, storedSession, storeSession } from "./session.js";

const api = new Api();
const chat = new Chat(api, (error) => askName(error));
const login = new Login(async (name) => {
  api.token = "";
  const session = await api.login(name);
  await enter(session, []);
});

/** @param {import("./api.js").Session} session @param {string[]} rooms */
async function enter(session, rooms) {
  api.token = session.token;
  storeSession(session);
  login.hide();
  await chat.begin(session, rooms);
}

/** @param {string} [error] */
function askName(error) {
  storeSession(undefined);
  api.token = "";
  login.show(lastNickname(), error);
}

byId("logout", HTMLElement).addEventListener("click", () => {
  chat.end();
  askName();
});

const session = storedSession();
if (!session) {
  askName();
} else {
  api.token = session.token;
  try {
    const { rooms } = await api.me();
    await enter(session, rooms);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) askName("Your session has ended. Choose a nickname again.");
    else await enter(session, []); // the connection indicator says that the server is away, and tries again
  }
}
