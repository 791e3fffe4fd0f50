create table images (
    fingerprint text primary key,
    filename text not null default '',
    size integer not null,
    public integer not null default 0,
    cached integer not null default 0,
    auto_update integer not null default 0,
    architecture text not null,
    created_at text not null,
    expires_at text not null,
    uploaded_at text not null,
    last_used_at text not null,
    properties text not null default '{}',
    profiles text not null default '["default"]',
    source text not null default ''
);

create table image_aliases (
    name text primary key,
    description text not null default '',
    fingerprint text not null references images (fingerprint) on delete cascade
);
