/** Loaded into the server by `node --import`: SIGUSR2 begins a CPU profile, and the next one writes it to PROFILE_FILE. */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import process from 'node:process';

const samplingMicroseconds = 500;
let session: Session | null = null;

process.on('SIGUSR2', () => void toggle());

async function toggle(): Promise<void> {
  if (session === null) {
    session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: samplingMicroseconds });
    await session.post('Profiler.start');
    return;
  }
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  session = null;
  writeFileSync(process.env['PROFILE_FILE'] as string, JSON.stringify(profile));
}
