// Requests to the server: the token, and errors in words.

const TOKEN = "fewshot-audio-token";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Send a request; asks for the token where the server wants one. Returns the Response, throws ApiError. */
export async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
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
    throw new ApiError(response.status, await explain(response));
  }
}

export async function json(path, options) {
  return (await request(path, options)).json();
}

async function explain(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with error ${response.status}.`;
  }
}

let asking = null;

/** One question at a time, however many requests wait for the answer. */
function askForToken(tried) {
  if (tried !== sessionStorage.getItem(TOKEN)) return Promise.resolve(); // answered meanwhile
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token-dialog");
    const input = document.getElementById("token-input");
    document.getElementById("token-wrong").hidden = !tried;
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      // A header takes printable ASCII only; anything else cannot be the token.
      sessionStorage.setItem(TOKEN, input.value.replace(/[^\x21-\x7e]/g, "") || "-");
      input.value = "";
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}
