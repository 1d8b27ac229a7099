// How do the clients reach the gateway, and what do their tests say again and again?
import OpenAI from 'openai';

export const MODEL = process.argv[5];
export const NAMED = 'My name is Ada.';
export const ASKED = 'What is my name?';

export const clientOf = (address, options = {}) =>
  new OpenAI({ baseURL: `${address}/v1`, apiKey: 'none', maxRetries: 0, ...options });

// What a call throws: its class and what the SDK understood.
export async function thrown(call) {
  try {
    await call();
  } catch (error) {
    const { status, code, param, type, message } = error;
    return { class: error.constructor.name, status, code, param, type, message };
  }
  return null;
}

export async function all(iterable) {
  const found = [];
  for await (const each of iterable) found.push(each);
  return found;
}
