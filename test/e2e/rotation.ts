/** Secrets that change while mail goes on. */
import { eventually, secondsUntil } from './story.ts';
import type { Scene } from './scene.ts';
import { certificateSerial, opens } from './mail-client.ts';
import { makeCertificate } from './certificate.ts';
import { kubectl, secretValue } from './kubectl.ts';

/** Resolves with a scene where alice has her new password. */
export async function passwordRotation(scene: Scene): Promise<Scene> {
  const { story, endpoints, alice } = scene;
  story.chapter('A password is rotated');
  const renewed = { ...alice, password: `rotated ${Date.now()} by hand` };
  const seconds = await story.step('a new password in the Secret opens the mailbox', async () => {
    const patch = JSON.stringify({ stringData: { password: renewed.password } });
    await kubectl('patch', 'secret', 'alice-mailbox', '--type=merge', '-p', patch);
    return secondsUntil('the new password opens', 30, () => opens(endpoints, renewed));
  });
  story.note(`${seconds.toFixed(1)} s after the Secret was changed`);
  await story.step('the old one does not', async () => {
    if (await opens(endpoints, alice)) throw new Error('the old password still opens the mailbox');
  });
  await story.step('a Secret that is deleted is made again, with another password', async () => {
    await kubectl('delete', 'secret', 'alice-mailbox');
    const made = await eventually('a new password', 30, () => secretValue('alice-mailbox', 'password'));
    if (made === renewed.password) throw new Error('it is the same password');
    await eventually('it opens the mailbox', 30, () => opens(endpoints, { ...alice, password: made }));
  });
  return { ...scene, alice: { ...alice, password: (await secretValue('alice-mailbox', 'password')) ?? '' } };
}

export async function certificateRotation({ story, endpoints }: Scene): Promise<void> {
  story.chapter('A certificate is rotated');
  const hostname = 'mail.example.test';
  /** Both pods show it: several connections, so that each is asked. */
  const isShown = async (serial: string): Promise<boolean> => {
    const seen = await Promise.all(Array.from({ length: 6 }, () => certificateSerial(endpoints, hostname)));
    return seen.every((one) => one === serial);
  };
  const first = await story.step('a certificate of our own, given in a Secret, is shown within seconds', async () => {
    const serial = await makeCertificate('e2e-given', hostname);
    const patch = { spec: { tls: { mode: 'Secret', secretRef: { name: 'e2e-given' } } } };
    await kubectl('patch', 'mailserver', 'default', '--type=merge', '-p', JSON.stringify(patch));
    return secondsUntil('it is shown', 60, () => isShown(serial));
  });
  story.note(`${first.toFixed(1)} s after the MailServer named the Secret`);
  const second = await story.step('its successor in the same Secret is, too', async () => {
    const serial = await makeCertificate('e2e-given', hostname);
    return secondsUntil('it is shown', 60, () => isShown(serial));
  });
  story.note(`${second.toFixed(1)} s after the Secret was changed`);
}
