-- A shop. Money is in cents, times are milliseconds since 1970.

create table if not exists product (
  id integer primary key,
  name text not null,
  price_cents integer not null,
  stock integer not null, -- what was delivered less what was ordered
  reorder integer not null, -- how many are bought when few are left; 0: never
  views integer not null default 0
) strict;

create table if not exists delivery (
  id integer primary key,
  product_id integer not null references product,
  quantity integer not null
) strict;

-- The customer's browser makes the id: an order that is sent twice is refused the second time.
create table if not exists orders (
  id text primary key,
  customer text not null,
  placed_at integer not null,
  confirmed_at integer
) strict;

create index if not exists orders_to_confirm on orders (placed_at) where confirmed_at is null;

create table if not exists order_line (
  order_id text not null references orders,
  product_id integer not null references product,
  quantity integer not null,
  price_cents integer not null,
  primary key (order_id, product_id)
) strict, without rowid;

create table if not exists email (
  order_id text primary key references orders,
  address text not null,
  text text not null
) strict, without rowid;
