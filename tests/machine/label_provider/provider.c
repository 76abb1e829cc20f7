/* A security label provider that accepts every label: PostgreSQL has none of its own, and labels must travel too. */
#include "postgres.h"
#include "commands/seclabel.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

void _PG_init(void);

static void
accept_label(const ObjectAddress *object, const char *label)
{
}

void
_PG_init(void)
{
	register_label_provider("holdfast test", accept_label);
}
