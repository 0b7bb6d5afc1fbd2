import { serve } from './serve.js';
import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft2';
import { open } from 'wasi:keyvalue/store@0.2.0-draft2';

// Called once for every request, with the web's own Request and Response.
async function visits(request) {
  const { pathname } = new URL(request.url);
  const counters = open('counters');
  try {
    const count = increment(counters, pathname, 1n);
    return new Response(`${pathname}: visit ${count}\n`, {
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    });
  } finally {
    // What the host lends is given back at once: the garbage collector comes late.
    counters[Symbol.dispose]();
  }
}

export const incomingHandler = serve(visits);
