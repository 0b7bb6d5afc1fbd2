import { serve } from './serve.js';

// Called once for every request, with the web's own Request and Response.
async function hello(request) {
  const { pathname } = new URL(request.url);
  return new Response(`hello from ${pathname}\n`, {
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}

export const incomingHandler = serve(hello);
