import packageJson from '../../package.json' with { type: 'json' };

/** Of the release, as in package.json. */
export const version: string = packageJson.version;
