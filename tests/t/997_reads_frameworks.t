#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Rails' ActiveRecord and Django's ORM through reads = nearest, as they are: models that are created and saved, in threads with a
# connection each, are read back nearby right behind each save, transaction, lock and savepoint. Their own way to read replicas, a
# second connection whose transactions are read-only, reads what the first one has written, by its token. What they send, imitated
# with drivers in ways that they do not go here, is 895.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Drivers qw(driver_run driver_missing);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Test::More;

my %missing = map { ($_ => driver_missing($_)) } qw(activerecord django);
plan skip_all => join ', ', sort values %missing unless grep { $_ eq '' } values %missing;

# What home writes beside its commits goes on its way soon.
my ($home) = regional_clusters('us-east1', { streaming => 1, conf => "wal_writer_delay = 10\n" });
my $near  = regional_standby($home, 'europe-west1');
my $wait  = span(30);
# ruby says notices on its standard error
my $proxy = near_proxy($home, $near, set => { workers => 2, default_pool_size => 12, query_wait_notify => 0 },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n");

# A program says what was wrong, where what only reads and what writes ran, and how many reads it has seen nearby.

my $rails = <<'RUBY';
require 'active_record'
require 'pg'
Thread.abort_on_exception = false
Thread.report_on_exception = false
HERE = "current_setting('cluster_name') AS place"
WRONG, READS, WRITES = Queue.new, Queue.new, Queue.new

at = { 'adapter' => 'postgresql', 'host' => '127.0.0.1', 'port' => ARGV[0].to_i, 'username' => 'postgres', 'database' => 'postgres',
       'options' => '-c meridian.city=paris', 'pool' => 6, 'statement_limit' => ARGV[1].to_i, 'prepared_statements' => ARGV[2] == 'prepared' }
ActiveRecord::Base.configurations = { 'default_env' => {
  'primary' => at, 'reader' => at.merge('replica' => true, 'variables' => { 'default_transaction_read_only' => 'on' }) } }
ActiveRecord::Base.legacy_connection_handling = false
ActiveRecord::Base.connects_to database: { writing: :primary, reading: :reader }

class Post < ActiveRecord::Base
  has_many :comments, dependent: :destroy
  validates :slug, uniqueness: true
end

class Comment < ActiveRecord::Base
  belongs_to :post, counter_cache: true
end

class Note < ActiveRecord::Base
end

class CreateAll < ActiveRecord::Migration[6.1]
  def change
    create_table(:posts) do |t|
      t.string :who, null: false, index: true
      t.string :slug, index: { unique: true }
      t.integer :n, null: false, default: 0
      t.integer :comments_count, null: false, default: 0
      t.integer :lock_version, null: false, default: 0
      t.timestamps
    end
    create_table(:comments) do |t|
      t.references :post, null: false, foreign_key: true
      t.text :body
    end
    create_table(:notes) { |t| t.string :title }
  end
end

def same(what, got, want)
  WRONG << "#{what}: #{got.inspect} is not #{want.inspect}" if got != want
end

def raises(what, error)
  yield
  WRONG << "#{what}: no error"
rescue error
end

def seen(id, n, places = READS)
  post = Post.select(:id, :n, HERE).find(id)
  places << post.place
  same("post at #{post.place}", post.n, n)
end

def counted(what, of, n, places = READS)
  got = of.select("count(*) AS n", HERE).take
  places << got.place
  same("#{what} at #{got.place}", got.n, n)
end

def save_and_lock(me, turn)
  post = Post.create!(who: me, slug: "#{me}-#{turn}", n: turn)
  seen(post.id, turn)
  post.update!(n: turn + 1)
  seen(post.id, turn + 1)
  3.times { post.reload.update!(n: post.n + 1) }
  seen(post.id, turn + 4)
  locked = Post.select(:id, :n, HERE).lock.find(post.id)
  WRITES << locked.place
  same('locked', locked.n, turn + 4)
  post.with_lock { post.increment!(:n) }
  seen(post.id, turn + 5)
  Post.find(post.id).update!(n: 0)
  raises('an old lock_version', ActiveRecord::StaleObjectError) { post.update!(n: 1) }
  Post.where(id: post.id).update_all(['n = ?', turn])
  seen(post.id, turn)
  raises('a slug twice', ActiveRecord::RecordInvalid) { Post.create!(who: me, slug: post.slug) }
  post.reload
end

def transactions(me, post, n)
  Post.transaction do
    post.update!(n: n + 100)
    seen(post.id, n + 100, WRITES)
    Post.transaction(requires_new: true) do
      post.comments.create!(body: 'gone')
      Post.where(id: post.id).update_all(n: -1)
      seen(post.id, -1, WRITES)
      raise ActiveRecord::Rollback
    end
    seen(post.id, n + 100, WRITES)
    raises('a slug twice', ActiveRecord::RecordNotUnique) do
      Post.transaction(requires_new: true) { Post.insert!({ who: me, slug: post.slug, created_at: Time.now, updated_at: Time.now }) }
    end
    Post.transaction(requires_new: true) { Post.where(id: post.id).update_all('n = n + 1') }
  end
  seen(post.id, n + 101)
  Post.transaction do
    Post.where(id: post.id).update_all(n: -2)
    raise ActiveRecord::Rollback
  end
  seen(post.id, n + 101)
end

def children(me, post, turn)
  3.times { |i| post.comments.create!(body: "#{me} #{i}") }
  counted('comments', Comment.where(post_id: post.id), 3)
  same('counter', Post.find(post.id).comments_count, 3)
  same('bodies', Post.includes(:comments).where(id: post.id).first.comments.map(&:body).sort, (0..2).map { |i| "#{me} #{i}" })
  same('joined', Post.joins(:comments).where(who: me, comments: { body: "#{me} 1" }).count, turn + 1)
  Comment.insert_all((1..5).map { |i| { post_id: post.id, body: "more #{i}" } })
  same('plucked', Comment.where(post_id: post.id).order(:id).pluck(:body).last, 'more 5')
  same('in batches', Comment.where(post_id: post.id).find_each(batch_size: 3).map(&:body).length, 8)
  Comment.where(post_id: post.id, body: 'more 1').destroy_all
  same('exists', Comment.where(post_id: post.id, body: 'more 1').exists?, false)
  counted('comments', Comment.where(post_id: post.id), 7)
end

# What the first connection has written, read by one whose transactions are read-only. SHOW meridian.token calls a function at home:
# where Meridian does not know the database's own functions yet, it learns them behind that, and what the session says meanwhile
# runs at home.
def by_the_replica(post, n)
  token = Post.connection.select_value('SHOW meridian.token')
  same('exists', Post.where(id: post.id).exists?, true)
  ActiveRecord::Base.connected_to(role: :reading) do
    Post.connection.execute("SET meridian.token = '#{token}'")
    seen(post.id, n)
    Post.transaction do
      seen(post.id, n)
      same('comments', Comment.where(post_id: post.id).count, 7)
    end
    raises('a write', ActiveRecord::ReadOnlyError) { post.update!(n: -3) }
  end
end

def client(me)
  6.times do |turn|
    post = save_and_lock(me, turn)
    transactions(me, post, turn)
    children(me, post, turn)
    by_the_replica(post, turn + 101)
    counted('posts', Post.where(who: me), turn + 1)
  end
end

ActiveRecord::Migration.verbose = false
ActiveRecord::SchemaMigration.create_table
ActiveRecord::InternalMetadata.create_table
ActiveRecord::Migrator.new(:up, [CreateAll.new('CreateAll', 1)], ActiveRecord::SchemaMigration).migrate
(1..4).map { |i| Thread.new { ActiveRecord::Base.connection_pool.with_connection { client("rails#{i}") } } }.each do |t|
  t.join
rescue StandardError => e
  WRONG << "#{e.class}: #{e.message} #{e.backtrace.grep(/-e:/).first}"
end

# A plan whose result has another column now is prepared again.
note = Note.create!(title: 'first')
2.times { same('note', Note.find(note.id).title, 'first') }
Note.connection.execute('ALTER TABLE notes ADD COLUMN body text')
same('note', Note.find(note.id).attributes.key?('body'), true)
same('note', Note.find(note.id).title, 'first')
ActiveRecord::Migrator.new(:down, [CreateAll.new('CreateAll', 1)], ActiveRecord::SchemaMigration).migrate

list = ->(q) { Array.new(q.size) { q.pop } }
reads = list[READS]
puts "wrong #{list[WRONG].first(5)} reads #{reads.uniq.sort} writes #{list[WRITES].uniq.sort} #{reads.length}"
RUBY

my $django = <<'PY';
import sys, threading, django
from django.conf import settings

at = {'ENGINE': 'django.db.backends.postgresql', 'HOST': '127.0.0.1', 'PORT': sys.argv[1], 'USER': 'postgres', 'NAME': 'postgres',
      'CONN_MAX_AGE': None, 'OPTIONS': {'options': '-c meridian.city=paris'}}
settings.configure(DATABASES={'default': at, 'reader': at}, USE_TZ=True, DEFAULT_AUTO_FIELD='django.db.models.BigAutoField')
django.setup()
from django.db import connection, connections, models, transaction, IntegrityError, InternalError
from django.db.backends.signals import connection_created

# Its BEGIN is BEGIN READ ONLY where the session itself has said so, not its startup packet.
def begins(connection, **more):
    if connection.alias == 'reader':
        connection.cursor().execute('SET default_transaction_read_only = on')
connection_created.connect(begins)

class Blog(models.Model):
    who = models.CharField(max_length=20)
    slug = models.SlugField(unique=True)
    n = models.IntegerField()
    class Meta: app_label = 'blog'

class Entry(models.Model):
    blog = models.ForeignKey(Blog, models.CASCADE)
    body = models.TextField()
    class Meta: app_label = 'blog'

class Here(models.Func):
    template = "current_setting('cluster_name')"
    output_field = models.CharField()

class Undo(Exception): pass

wrong, reads, writes = [], [], []

def same(what, got, want):
    if got != want: wrong.append((what, got, want))

def seen(id, n, places=reads, of=Blog.objects):
    blog = of.annotate(place=Here()).get(pk=id)
    places.append(blog.place)
    same(f'blog at {blog.place}', blog.n, n)
    return blog

def save_and_lock(me, turn):
    blog = Blog.objects.create(who=me, slug=f'{me}-{turn}', n=turn)
    seen(blog.id, turn)
    blog.n = turn + 1
    blog.save()
    seen(blog.id, turn + 1)
    Blog.objects.filter(pk=blog.id).update(n=models.F('n') + 1)
    seen(blog.id, turn + 2)
    blog.refresh_from_db()
    blog.n += 1
    blog.save(update_fields=['n'])
    seen(blog.id, turn + 3)
    same('made twice', Blog.objects.get_or_create(slug=blog.slug, defaults={'n': 0})[1], False)
    same('made', Blog.objects.update_or_create(slug=blog.slug, defaults={'n': turn + 4})[1], False)
    seen(blog.id, turn + 4)
    return blog

def transactions(me, blog, n):
    with transaction.atomic():
        locked = seen(blog.id, n, writes, Blog.objects.select_for_update())
        locked.n = n + 100
        locked.save()
        try:
            with transaction.atomic():
                Blog.objects.filter(pk=blog.id).update(n=-1)
                seen(blog.id, -1, writes)
                raise Undo
        except Undo:
            pass
        try:
            with transaction.atomic():
                Blog.objects.create(who=me, slug=blog.slug, n=0)
            wrong.append('a slug twice')
        except IntegrityError:
            pass
        with transaction.atomic():
            Blog.objects.filter(pk=blog.id).update(n=models.F('n') + 1)
        seen(blog.id, n + 101, writes)
        transaction.on_commit(lambda: seen(blog.id, n + 101))
    seen(blog.id, n + 101)
    try:
        with transaction.atomic():
            Blog.objects.filter(pk=blog.id).update(n=-2)
            raise Undo
    except Undo:
        pass
    seen(blog.id, n + 101)

def children(me, blog, turn):
    Entry.objects.bulk_create([Entry(blog=blog, body=f'{me} {i}') for i in range(7)])
    same('entries', blog.entry_set.count(), 7)
    same('exists', Entry.objects.filter(blog=blog, body=f'{me} 6').exists(), True)
    same('joined', Entry.objects.select_related('blog').filter(body=f'{me} 3').latest('pk').blog.n, turn + 105)
    same('fetched', [len(b.entry_set.all()) for b in Blog.objects.prefetch_related('entry_set').filter(pk=blog.id)], [7])
    same('most', Blog.objects.filter(who=me).aggregate(models.Max('n'))['n__max'], turn + 105)
    same('values', sorted(Entry.objects.filter(blog=blog).values_list('body', flat=True)), [f'{me} {i}' for i in range(7)])
    Entry.objects.filter(blog=blog, body=f'{me} 0').delete()
    same('entries', blog.entry_set.count(), 6)
    # a cursor WITH HOLD is at home, and so is the session until the server has said that it is gone
    rows = list(Entry.objects.annotate(place=Here()).filter(blog=blog).order_by('pk').iterator(chunk_size=4))
    writes.extend(r.place for r in rows)
    same('iterator', [r.body for r in rows], [f'{me} {i}' for i in range(1, 7)])
    seen(blog.id, turn + 105, [])
    seen(blog.id, turn + 105)

# What the first connection has written, read by one whose transactions are read-only.
def by_the_replica(blog, n):
    with connection.cursor() as c:
        c.execute('SHOW meridian.token')
        token = c.fetchone()[0]
    # behind that, Meridian may learn the database's own functions: what the session says meanwhile runs at home
    same('exists', Blog.objects.filter(pk=blog.id).exists(), True)
    with connections['reader'].cursor() as c:
        c.execute('SET meridian.token = %s', [token])
    there = Blog.objects.using('reader')
    seen(blog.id, n, of=there)
    with transaction.atomic(using='reader'):
        seen(blog.id, n, of=there)
        try:
            with transaction.atomic(using='reader'):
                there.filter(pk=blog.id).update(n=-3)
            wrong.append('wrote')
        except InternalError as e:
            same('refused', e.__cause__.pgcode, '25006')
        seen(blog.id, n, of=there)

def client(me):
    for turn in range(6):
        blog = save_and_lock(me, turn)
        transactions(me, blog, turn + 4)
        children(me, blog, turn)
        by_the_replica(blog, turn + 105)
        same('blogs', Blog.objects.filter(who=me).count(), turn + 1)

def run(me):
    try:
        client(me)
    except Exception as e:
        at = e.__traceback__
        while at.tb_next and at.tb_next.tb_frame.f_code.co_filename == '<string>': at = at.tb_next
        wrong.append((me, repr(e), at.tb_lineno))
    connections.close_all()

with connection.schema_editor() as e:
    e.create_model(Blog)
    e.create_model(Entry)
threads = [threading.Thread(target=run, args=(f'django{i}',)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print('wrong', wrong[:5], 'reads', sorted(set(reads)), 'writes', sorted(set(writes)), len(reads))
PY

sub reads_nearby
{
	my ($name, $driver, $program, @args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
  SKIP: {
		skip $missing{$driver}, 3 if $missing{$driver};
		tally($proxy);
		my ($said, $reads) = driver_run($driver, $program, $proxy->port, @args) =~ /^(.*?)(?: (\d+))?\n?$/s;
		is($said =~ tr/"/'/r, "wrong [] reads ['europe-west1'] writes ['us-east1']", "$name: what is saved is read, nearby");
		my $ran    = tally($proxy);
		my $nearby = $ran->{'near READ'} + $ran->{'near READ_ONLY'};
		cmp_ok($nearby, '>=', $reads // 1, "... $nearby transactions, as SHOW READS counts");
		is(misjudged($ran), '', '... none of them misjudged');
	}
	return;
}

reads_nearby('ActiveRecord',                        'activerecord', $rails, 1000, 'prepared');
reads_nearby('ActiveRecord that prepares so few',   'activerecord', $rails, 3,    'prepared');
reads_nearby('ActiveRecord that does not prepare',  'activerecord', $rails, 1000, 'unprepared');
reads_nearby('Django',                              'django',       $django);
$proxy->stop;
done_testing();
