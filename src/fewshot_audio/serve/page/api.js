// Requests to the server, with the access token; errors become messages for people.

const TOKEN_KEY = "fewshot-audio-token";

export class ApiError extends Error {
  constructor(status, message, state = null) {
    super(message);
    this.status = status;
    this.state = state; // of the recognizer, with a conflict
  }
}

/** Send a request; asks for the token if the server needs one. Returns the Response, throws ApiError. */
export async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN_KEY);
    const headers = { ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch {
      throw new ApiError(0, "The server cannot be reached. Is it still running?");
    }
    if (response.ok) return response;
    if (response.status === 401) {
      await askForToken(token);
      continue;
    }
    throw await apiError(response);
  }
}

/** Send a form and tell how much of it has arrived, 0 to 1. Returns the answer's JSON, throws ApiError. */
export function upload(path, body, onShare) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", path);
    const token = sessionStorage.getItem(TOKEN_KEY);
    if (token) sent.setRequestHeader("Authorization", `Bearer ${token}`);
    sent.upload.onprogress = ({ loaded, total }) => onShare(total ? loaded / total : 0);
    sent.onerror = () => reject(new ApiError(0, "The server cannot be reached. Is it still running?"));
    sent.onload = async () => {
      const answer = new Response(sent.response, { status: sent.status || 500 });
      if (answer.ok) resolve(await answer.json());
      else reject(await apiError(answer));
    };
    sent.send(body);
  });
}

export async function json(path, options) {
  return (await request(path, options)).json();
}

/** Ask which sound a file is. */
export function classify(file) {
  const body = new FormData();
  body.append("clip", file);
  return json("/api/classify", { method: "POST", body });
}

async function apiError(response) {
  try {
    const { error, state } = await response.json();
    return new ApiError(response.status, error.message, state);
  } catch {
    return new ApiError(response.status, `The server answered with error ${response.status}.`);
  }
}

let tokenPrompt = null;

/** Ask for another token than `rejectedToken`: once, however many requests wait for the answer. */
function askForToken(rejectedToken) {
  if (rejectedToken !== sessionStorage.getItem(TOKEN_KEY)) return Promise.resolve(); // another request has asked meanwhile
  tokenPrompt ??= new Promise((resolve) => {
    const dialog = document.getElementById("token-dialog");
    const input = document.getElementById("token-input");
    document.getElementById("token-wrong").hidden = !rejectedToken;
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      // A header takes printable ASCII only; anything else cannot be the token.
      sessionStorage.setItem(TOKEN_KEY, input.value.replace(/[^\x21-\x7e]/g, "") || "-");
      input.value = "";
      tokenPrompt = null;
      resolve();
    };
    dialog.showModal();
  });
  return tokenPrompt;
}
