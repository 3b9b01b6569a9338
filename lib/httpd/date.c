/* SPDX-License-Identifier: BSD-2-Clause */
/* date.c: HTTP dates, without the locale's say. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "httpd.h"

static const char days[7][4] = {
	"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"
};
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

void
date_write(char to[DATE_BYTES], int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[160];

	if (!gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900 ||
	    tm.tm_year < -1900)
		memset(&tm, 0, sizeof tm);
	snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
		 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
		 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	memcpy(to, text, DATE_BYTES - 1);
	to[DATE_BYTES - 1] = '\0';
}

static int
month_of(const char *name)
{
	for (int i = 0; i < 12; i++)
		if (!strcmp(name, months[i]))
			return i;
	return -1;
}

/* Of a year of two digits, as struct tm counts: not more than 50 years from now
   (section 5.6.7). */
static int
century(int year)
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm))
		return year;
	year += tm.tm_year / 100 * 100;
	return year > tm.tm_year + 50 ? year - 100 : year;
}

int
date_parse(const char *text, int64_t *seconds)
{
	struct tm tm = { 0 };
	char month[4] = "", day[10];
	int n = 0, end = (int)strlen(text);

	if (sscanf(text, "%3[A-Za-z], %2d %3s %4d %2d:%2d:%2d GMT%n", day,
		   &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &n) == 7 &&
	    n == end) {
		tm.tm_year -= 1900;
	} else if (sscanf(text,
			  "%9[A-Za-z], %2d-%3[A-Za-z]-%2d "
			  "%2d:%2d:%2d GMT%n",
			  day, &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
			  &tm.tm_min, &tm.tm_sec, &n) == 7 &&
		   n == end) {
		tm.tm_year = century(tm.tm_year);
	} else if (sscanf(text, "%3[A-Za-z] %3s %2d %2d:%2d:%2d %4d%n", day,
			  month, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
			  &tm.tm_sec, &tm.tm_year, &n) == 7 &&
		   n == end) {
		tm.tm_year -= 1900;
	} else {
		return -EINVAL;
	}
	tm.tm_mon = month_of(month);
	if (tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
	    tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return -EINVAL;
	*seconds = (int64_t)timegm(&tm);
	return 0;
}
