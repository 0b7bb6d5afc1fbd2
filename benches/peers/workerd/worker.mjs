// The same answers as the other peers', as a worker.
import { priced } from 'order';

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/echo') {
      return new Response(request.body, { headers: { 'content-type': 'application/octet-stream' } });
    }
    if (pathname === '/json') return Response.json(priced(await request.json()));
    return new Response(`hello from ${pathname}\n`, { headers: { 'content-type': 'text/plain; charset=utf-8' } });
  },
};
