create table certificates (
    fingerprint text primary key,
    type text not null,
    name text not null,
    certificate text not null,
    restricted integer not null default 0,
    projects text not null default '[]'
);
